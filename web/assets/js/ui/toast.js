// Short messages that leave by themselves. Said politely to screen readers.

const STAY_MS = 6_000;
const MOST = 3;

export function createToasts() {
  const box = document.createElement('div');
  box.className = 'toasts';
  box.setAttribute('role', 'status');
  document.body.append(box);
  return function toast(text, kind = 'plain') {
    const item = document.createElement('p');
    item.className = `toast toast-${kind}`;
    item.textContent = text;
    box.append(item);
    while (box.children.length > MOST) box.firstElementChild.remove();
    setTimeout(() => item.remove(), STAY_MS);
  };
}

// The picture while there is no camera: a night market, drawn by numbers that follow from
// the show's id, so that it is the same scene on every screen. Over a cover only its lamps
// are drawn. Still when the viewer asked for less motion, and asleep when out of sight.

import { calm, h } from './dom.js';

const FRAME_MS = 1000 / 30;
const PALETTES = [
  { sky: ['#1b1026', '#4a1d33', '#c4552d'], lamp: '255,190,92', ink: '#150c12' },
  { sky: ['#07161f', '#14404a', '#d98b4a'], lamp: '255,206,120', ink: '#081316' },
  { sky: ['#140f2d', '#3c2a63', '#e07a5f'], lamp: '255,184,120', ink: '#110c1e' },
];

/** A small generator of numbers in [0, 1) that always gives the same ones for a seed (mulberry32). */
function numbersOf(seed) {
  let state = 0;
  for (let i = 0; i < seed.length; i += 1) state = Math.imul(state ^ seed.charCodeAt(i), 2654435761);
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

function plan(seed) {
  const next = numbersOf(seed);
  return {
    palette: PALETTES[Math.floor(next() * PALETTES.length)],
    glows: Array.from({ length: 22 }, () => ({ x: next(), y: next() * 0.62, size: 0.02 + next() * 0.06, phase: next() * 6.3, speed: 0.2 + next() * 0.5 })),
    stalls: Array.from({ length: 6 }, (_, i) => ({ x: (i + 0.5) / 6 + (next() - 0.5) * 0.05, width: 0.13 + next() * 0.07, height: 0.85 + next() * 0.5, stripes: 5 + 2 * Math.floor(next() * 2), lit: 0.4 + next() * 0.6 })),
    wares: Array.from({ length: 13 }, (_, slot) => ({ slot, kind: Math.floor(next() * 4), size: 0.75 + next() * 0.5 })),
  };
}

function glow(pen, x, y, radius, colour, strength) {
  const light = pen.createRadialGradient(x, y, 0, x, y, radius);
  light.addColorStop(0, `rgba(${colour},${strength})`);
  light.addColorStop(1, `rgba(${colour},0)`);
  pen.fillStyle = light;
  pen.fillRect(x - radius, y - radius, radius * 2, radius * 2);
}

function drawSky(pen, width, table, height, { palette }) {
  const sky = pen.createLinearGradient(0, 0, 0, table);
  palette.sky.forEach((colour, i) => sky.addColorStop([0, 0.62, 1][i], colour));
  pen.fillStyle = sky;
  pen.fillRect(0, 0, width, height);
}

/** A stall across the way: a lit space under a striped awning between two posts. */
function drawAcross(pen, stall, unit, width, table, { palette }) {
  const half = stall.width * Math.max(width, unit * 18) * 0.5;
  const tall = unit * 5 * stall.height;
  const x = stall.x * width;
  const hem = table - tall * 0.62;
  const light = pen.createLinearGradient(0, hem, 0, table);
  light.addColorStop(0, `rgba(${palette.lamp},${0.62 * stall.lit})`);
  light.addColorStop(1, `rgba(${palette.lamp},${0.12 * stall.lit})`);
  pen.fillStyle = `${palette.ink}d8`;
  pen.fillRect(x - half, hem, half * 2, table - hem);
  pen.fillStyle = light;
  pen.fillRect(x - half, hem, half * 2, table - hem);
  pen.fillStyle = palette.ink;
  pen.fillRect(x - half, hem, unit * 0.14, table - hem);
  pen.fillRect(x + half - unit * 0.14, hem, unit * 0.14, table - hem);
  for (let i = 0; i < stall.stripes; i += 1) {
    const at = (part, wide) => x + (part / stall.stripes - 0.5) * 2 * half * wide;
    pen.fillStyle = i % 2 === 0 ? '#571a17' : '#8d7a61';
    pen.beginPath();
    pen.moveTo(at(i, 0.82), table - tall);
    pen.lineTo(at(i + 1, 0.82), table - tall);
    pen.lineTo(at(i + 1, 1.14), hem);
    pen.arc((at(i, 1.14) + at(i + 1, 1.14)) / 2, hem, (at(i + 1, 1.14) - at(i, 1.14)) / 2, 0, Math.PI);
    pen.fill();
  }
}

/** A string of bulbs between two points, swaying a little. */
function drawBulbs(pen, width, height, palette, time, [fromY, toY, sag, count]) {
  const scale = Math.min(width, height);
  const sway = Math.sin(time / 2600 + sag * 9) * 0.012;
  const at = (part) => ({ x: part * width, y: (fromY + (toY - fromY) * part + (sag + sway) * 4 * part * (1 - part)) * height });
  pen.strokeStyle = 'rgba(0,0,0,.45)';
  pen.lineWidth = Math.max(1, scale / 500);
  pen.beginPath();
  for (let i = 0; i <= 24; i += 1) {
    const { x, y } = at(i / 24);
    if (i === 0) pen.moveTo(x, y);
    else pen.lineTo(x, y);
  }
  pen.stroke();
  for (let i = 0; i < count; i += 1) {
    const { x, y } = at((i + 0.5) / count);
    const strength = 0.55 + 0.25 * Math.sin(time / 900 + i * 2.1);
    glow(pen, x, y, scale * 0.075, palette.lamp, strength * 0.6);
    pen.fillStyle = `rgba(${palette.lamp},${0.75 + strength * 0.25})`;
    pen.beginPath();
    pen.arc(x, y + scale * 0.008, scale * 0.009, 0, 6.3);
    pen.fill();
  }
}

const WARES = [
  // bowl, vase, jar, plate on its edge: each within a box two wide and two high, standing at 0
  (pen) => { pen.arc(0, -0.9, 0.9, 0, Math.PI); pen.rect(-0.35, -0.12, 0.7, 0.12); },
  (pen) => { pen.moveTo(-0.3, -2); pen.lineTo(0.3, -2); pen.bezierCurveTo(0.1, -1.4, 0.9, -1, 0.35, 0); pen.lineTo(-0.35, 0); pen.bezierCurveTo(-0.9, -1, -0.1, -1.4, -0.3, -2); },
  (pen) => { pen.rect(-0.5, -1.3, 1, 1.3); pen.rect(-0.38, -1.5, 0.76, 0.16); },
  (pen) => { pen.ellipse(0, -0.95, 0.32, 0.95, 0, 0, 6.3); },
];

function drawTable(pen, width, height, table, unit, { palette, wares }) {
  glow(pen, width / 2, table, Math.max(width, height) * 0.4, palette.lamp, 0.3);
  const wood = pen.createLinearGradient(0, table, 0, height);
  wood.addColorStop(0, '#3a2318');
  wood.addColorStop(0.35, palette.ink);
  pen.fillStyle = palette.ink;
  const shown = Math.max(5, Math.min(wares.length, Math.floor(width / (unit * 2.3))));
  for (const ware of wares.slice(0, shown)) {
    pen.save();
    pen.translate(((ware.slot + 0.5) / shown) * width, table + unit * 0.35);
    pen.scale(unit * ware.size, unit * ware.size);
    pen.beginPath();
    WARES[ware.kind](pen);
    pen.fill();
    pen.restore();
  }
  pen.fillStyle = wood;
  pen.fillRect(0, table + unit * 0.3, width, height);
  pen.fillStyle = `rgba(${palette.lamp},.4)`;
  pen.fillRect(0, table + unit * 0.3, width, Math.max(1.5, height / 500));
}

/** @returns {{element: HTMLElement, show: (stream: object, cover: string | null) => void}} */
export function createScene() {
  const canvas = h('canvas', { class: 'scene', 'aria-hidden': 'true' });
  const pen = canvas.getContext('2d');
  let scene = null;
  let bare = false;
  let last = 0;
  let asked = 0;

  function draw(time) {
    const { width, height } = canvas;
    if (!scene || width === 0) return;
    pen.clearRect(0, 0, width, height);
    // On a phone the chat lies over the lower half, so the table stands above it.
    const table = height * (height > width ? 0.45 : 0.78);
    const unit = Math.min(width / 12, height / 19);
    if (!bare) drawSky(pen, width, table, height, scene);
    const scale = Math.max(width, height);
    for (const one of scene.glows) {
      const x = (one.x + Math.sin(time / 7000 * one.speed + one.phase) * 0.02) * width;
      const y = (one.y + Math.cos(time / 9000 * one.speed + one.phase) * 0.02) * height;
      glow(pen, x, y, one.size * scale, scene.palette.lamp, (bare ? 0.1 : 0.16) * (0.75 + 0.25 * Math.sin(time / 1500 + one.phase)));
    }
    if (bare) {
      drawBulbs(pen, width, table, scene.palette, time, [0.2, 0.26, 0.06, width > height ? 11 : 7]);
      return;
    }
    for (const stall of scene.stalls) drawAcross(pen, stall, unit, width, table, scene);
    drawBulbs(pen, width, table, scene.palette, time, [0.24, 0.34, 0.06, 9]);
    drawTable(pen, width, height, table, unit, scene);
    drawBulbs(pen, width, table, scene.palette, time, [0.42, 0.28, 0.1, 7]);
  }

  function frame(time) {
    asked = 0;
    if (document.hidden || calm()) return;
    if (time - last >= FRAME_MS) {
      last = time;
      draw(time);
    }
    asked = requestAnimationFrame(frame);
  }

  function wake() {
    draw(performance.now());
    if (asked === 0) asked = requestAnimationFrame(frame);
  }

  new ResizeObserver(([{ contentRect }]) => {
    // Half the pixels are plenty for lamplight, and kind to a phone's battery.
    const scale = Math.min(devicePixelRatio, 1.5) * (bare ? 0.5 : 1);
    canvas.width = Math.round(contentRect.width * scale);
    canvas.height = Math.round(contentRect.height * scale);
    wake();
  }).observe(canvas);
  document.addEventListener('visibilitychange', () => !document.hidden && wake());

  return {
    element: canvas,
    show(seed, overCover) {
      scene = plan(seed);
      bare = overCover;
      wake();
    },
  };
}

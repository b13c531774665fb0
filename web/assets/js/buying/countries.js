// Countries by ISO 3166-1 code, named in the reader's language by the browser.

const CODES = (
  'AD AE AF AG AI AL AM AO AR AT AU AW AZ BA BB BD BE BF BG BH BI BJ BM BN BO BR BS BT BW BY BZ CA CD CF CG CH CI CL CM CN CO CR CU ' +
  'CV CW CY CZ DE DJ DK DM DO DZ EC EE EG ER ES ET FI FJ FM FO FR GA GB GD GE GG GH GI GL GM GN GP GQ GR GT GU GW GY HK HN HR HT HU ' +
  'ID IE IL IM IN IQ IR IS IT JE JM JO JP KE KG KH KI KM KN KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MG MH MK ML MM ' +
  'MN MO MQ MR MS MT MU MV MW MX MY MZ NA NC NE NG NI NL NO NP NR NZ OM PA PE PF PG PH PK PL PR PT PW PY QA RE RO RS RU RW SA SB SC ' +
  'SD SE SG SI SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TG TH TJ TL TM TN TO TR TT TV TW TZ UA UG US UY UZ VA VC VE VG VI VN VU WS ' +
  'XK YE YT ZA ZM ZW'
).split(' ');

const names = new Intl.DisplayNames(undefined, { type: 'region', fallback: 'code' });

/** The country's name. */
export const countryName = (code) => names.of(code) ?? code;

/** Pairs of code and name, by name. */
export function countries() {
  return CODES.map((code) => [code, countryName(code)]).sort((a, b) => a[1].localeCompare(b[1]));
}

/** The country that the browser's language suggests. */
export function likelyCountry() {
  const region = new Intl.Locale(navigator.language || 'en-DE').region;
  return CODES.includes(region) ? region : 'DE';
}

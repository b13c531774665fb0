// Countries by ISO 3166-1 code, named in the reader's language by the browser, and what an
// address needs there: as the server has it.

const CODES = (
  'AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV BW BY BZ CA CC CD CF CG CH CI CK ' +
  'CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO FR GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS ' +
  'GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO JP KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV ' +
  'LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR MS MT MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM ' +
  'PN PR PS PT PW PY QA RE RO RS RU RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM TN TO TR ' +
  'TT TV TW TZ UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS XK YE YT ZA ZM ZW'
).split(' ');

// Where there are none, or most places have none.
const WITHOUT_POSTCODES = (
  'AE AG AO AW BI BJ BO BS BW BZ CD CF CG CI CK CM CW DJ DM ER FJ GA GD GH GM GQ GY HK IE JM KI KM KN KP LC LY ML MO MR MW NR NU PA QA RW ' +
  'SB SC SL SR SS ST SX SY TD TF TG TK TL TO TV TZ UG VU YE ZW'
).split(' ');
// Where nothing arrives without a state or province.
const WITH_REGIONS = 'AU CA US'.split(' ');

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

/** Whether an address there needs a state or province. */
export const needsRegion = (country) => WITH_REGIONS.includes(country);

/** Whether an address there needs a postcode. */
export const needsPostcode = (country) => !WITHOUT_POSTCODES.includes(country);

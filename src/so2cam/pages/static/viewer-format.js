// Numbers as people read them: sensible digits, powers of ten where a number is long.

const RAISED = "⁰¹²³⁴⁵⁶⁷⁸⁹";

export function power(exponent) {
  const digits = [...String(Math.abs(exponent))].map((digit) => RAISED[Number(digit)]).join("");
  return `×10${exponent < 0 ? "⁻" : ""}${digits}`;
}

/** The exponent, a multiple of three, that numbers up to `largest` are best written with; 0 for none. */
export function sharedExponent(largest) {
  if (!(largest > 0) || (largest < 1e6 && largest >= 1e-3)) return 0;
  return 3 * Math.floor(Math.log10(largest) / 3);
}

/** A value, with no more digits than steps of `step` allow, and at most four that count after whole ones. */
export function formatValue(value, step) {
  if (value === null || !Number.isFinite(value)) return "no value";
  const exponent = sharedExponent(Math.abs(value));
  const [number, unit] = [value / 10 ** exponent, Math.abs(step) / 10 ** exponent];
  const known = unit > 0 ? Math.max(Math.ceil(-Math.log10(unit) - 1e-9), 0) : 6;
  const whole = Math.max(Math.floor(Math.log10(Math.abs(number) || 1)) + 1, 0);
  const text = minus(number.toFixed(Math.min(known, Math.max(4 - whole, 0))));
  return exponent === 0 ? text : `${text}${power(exponent)}`;
}

/** Round values for the ticks of an axis: {values, text(value), exponent}. */
export function ticks(low, high, most) {
  const span = high - low;
  const rough = span / Math.max(most, 1);
  const size = 10 ** Math.floor(Math.log10(rough));
  const step = size * ([1, 2, 5, 10].find((factor) => factor * size >= rough * 0.999) ?? 10);
  const exponent = sharedExponent(Math.max(Math.abs(low), Math.abs(high)));
  const decimals = Math.max(exponent - Math.floor(Math.log10(step) + 1e-9), 0);
  const values = [];
  for (let count = Math.ceil(low / step - 1e-9); count * step <= high + 1e-9 * span; count += 1) {
    values.push(count * step);
  }
  return { values, exponent, text: (value) => minus((value / 10 ** exponent).toFixed(decimals)) };
}

/** A time of day, UTC: "12:34:56 UTC"; with the date where it is not today's. */
export function utc(iso) {
  const time = new Date(iso);
  if (Number.isNaN(time.getTime())) return "";
  const text = time.toISOString();
  const day = text.slice(0, 10) === new Date().toISOString().slice(0, 10) ? "" : `${text.slice(0, 10)} `;
  return `${day}${text.slice(11, 19)} UTC`;
}

function minus(text) {
  const plain = /^-0(\.0*)?$/.test(text) ? text.slice(1) : text;
  return plain.replace("-", "−");
}

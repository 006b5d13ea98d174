// The same figures as figures.py, for what is drawn on demand.
const NONE = "–", NBSP = "\u00a0", MINUS = "\u2212";
const PLAIN = new Set(["id", "year", "postal-code", "phone", "credit-card"]);

const isPlain = (column) => PLAIN.has(column.semantic?.type);
const isWritten = (column) => column.type === "text" || column.type === "json";
const grouped = (value) => value.toLocaleString("en-US", { maximumFractionDigits: 0 });

function number(value, digits = 4, plain = false) {
  if (value == null || !Number.isFinite(value)) return NONE;
  const size = Math.abs(value);
  if (size && !(size >= 1e-4 && size < 1e15)) {
    const [mantissa, exponent] = value.toExponential(digits - 1).split("e");
    return `${Number(mantissa)}e${Number(exponent)}`.replaceAll("-", MINUS);
  }
  const decimals = Number.isInteger(value) ? 0 : Math.min(20, Math.max(0, digits - 1 - Math.floor(Math.log10(size))));
  return value.toLocaleString("en-US", { maximumFractionDigits: decimals, useGrouping: !plain }).replaceAll("-", MINUS);
}

function rounded(value, digits) {
  const brief = value ? Number(value.toPrecision(digits)) : value;
  for (const [unit, symbol] of [[1e12, "T"], [1e9, "G"], [1e6, "M"]]) {
    if (Math.abs(brief) >= unit && Math.abs(brief) < 1e15) return `${number(brief / unit, digits)}${NBSP}${symbol}`;
  }
  return number(brief, digits);
}

const margin = (error) => `±${number(error * 100, 2)}${NBSP}%`;

// Quantiles get a digit to spare: neighbours would look equal without.
function measured(found, plain = false, spare = 0) {
  if (!found.error) return number(found.value, 4 + spare, plain);
  const digits = spare + (found.error >= 0.01 ? 2 : found.error >= 0.001 ? 3 : 4);
  return `about ${plain ? number(found.value, 4, true) : rounded(found.value, digits)}, ${margin(found.error)}`;
}

function share(part, whole = 1) {
  const percent = whole ? part / whole * 100 : 0;
  if (percent > 0 && percent < 0.1) return `<0.1${NBSP}%`;
  if (percent > 99.9 && percent < 100) return `>99.9${NBSP}%`;
  return `${Number(percent.toFixed(1))}${NBSP}%`;
}

const counted = (count, whole) => `${grouped(count)} (${share(count, whole)})`;

// Seconds since 1970, or a date as text, to UTC.
function moment(value, day = false) {
  const date = new Date(typeof value === "number" ? value * 1000 : /Z|[+-]\d\d:?\d\d$/.test(value) ? value : `${value}Z`);
  if (Number.isNaN(date.getTime())) return String(value);
  const iso = date.toISOString();
  return day ? iso.slice(0, -14) : `${iso.slice(0, -5).replace("T", " ")}Z`;
}

function span(seconds) {
  for (const [unit, name] of [[31557600, "years"], [86400, "days"], [3600, "hours"], [60, "minutes"]]) {
    if (seconds >= unit * 2) return `${number(seconds / unit, 3)}${NBSP}${name}`;
  }
  return `${number(seconds, 3)}${NBSP}s`;
}

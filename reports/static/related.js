// Matrices are signed bytes of hundredths; -128 is not defined.
const METHODS = { pearson: "Pearson", spearman: "Spearman", "cramers-v": "Cramér’s V", "correlation-ratio": "correlation ratio" };
const matrices = (data.correlations ?? []).map((found) => {
  const bytes = Int8Array.from(atob(found.values), (character) => character.charCodeAt(0));
  return {
    ...found, signed: found.method === "pearson" || found.method === "spearman",
    symmetric: found.rows.length === found.columns.length && found.rows.every((each, i) => each === found.columns[i]),
    value: (i, j) => bytes[i * found.columns.length + j] === -128 ? null : bytes[i * found.columns.length + j] / 100,
  };
});

const related = (value) => value == null ? "not defined" : (Math.abs(value) === 1 ? String(value) : value.toFixed(2)).replace("-", MINUS);

// The strongest relation to each other column, whatever the method.
function neighbours(index, most = 6) {
  const found = new Map();
  function note(other, value, method) {
    if (other === index || other < 0 || value == null || Math.abs(value) < 0.1) return;
    if (Math.abs(found.get(other)?.value ?? 0) < Math.abs(value)) found.set(other, { other, value, method });
  }
  for (const matrix of matrices) {
    const i = matrix.rows.indexOf(index), j = matrix.columns.indexOf(index);
    if (i >= 0) matrix.columns.forEach((other, k) => note(other, matrix.value(i, k), matrix.method));
    if (j >= 0) matrix.rows.forEach((other, k) => note(other, matrix.value(k, j), matrix.method));
  }
  return [...found.values()].sort((a, b) => Math.abs(b.value) - Math.abs(a.value)).slice(0, most);
}

function themes() {
  const button = $("theme"), names = ["auto", "light", "dark"], root = document.documentElement;
  function set(theme) {
    if (theme === "auto") delete root.dataset.theme; else root.dataset.theme = theme;
    button.textContent = `Theme: ${theme}`;
    try { localStorage.setItem("millrace-theme", theme); } catch { /* not remembered, then */ }
  }
  button.textContent = `Theme: ${root.dataset.theme ?? "auto"}`;
  button.addEventListener("click", () => set(names[(names.indexOf(root.dataset.theme ?? "auto") + 1) % 3]));
}

themes();

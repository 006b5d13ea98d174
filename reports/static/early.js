document.documentElement.classList.add("js");
try {
  const theme = localStorage.getItem("millrace-theme");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
} catch { /* storage is refused to files in some browsers */ }

// Sets light or dark before the first paint, from the stored choice or the system's. Runs before the application is loaded.
(() => {
  let choice = "auto";
  try {
    choice = localStorage.getItem("marram-color-scheme") || "auto";
  } catch {
    // Storage may be closed to us; the system's choice then stands.
  }
  const dark = choice === "dark" || (choice !== "light" && matchMedia("(prefers-color-scheme: dark)").matches);
  document.documentElement.setAttribute("data-mantine-color-scheme", dark ? "dark" : "light");
})();

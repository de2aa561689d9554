// Types of the modules that only the build knows.
declare module "virtual:theme.css";

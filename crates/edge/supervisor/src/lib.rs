//! Processes of components: users, environment, cgroups, pause, signals, logs.

//! Deployments on a core: sources, queue, artifacts, activation, rollback, reports.

//! Deployments: documents, root sets, dependency resolution, plans.

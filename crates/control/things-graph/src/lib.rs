//! The iotthingsgraph service: namespaces, flows, systems, deployments, executions.

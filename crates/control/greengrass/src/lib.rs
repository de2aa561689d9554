//! Components, deployments and core devices: the Greengrass v2 control plane and data plane.

//! Things, types, groups, certificates, policies and the iot-data plane.

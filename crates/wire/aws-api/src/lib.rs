//! AWS wire protocols and the generated operation tables and shapes.

"""The bundled C kernels: sources that travel with the package, compiled on first use."""

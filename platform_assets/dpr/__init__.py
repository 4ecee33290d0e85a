"""On-demand processing of the Copernicus data processors: request, task table, units, auxiliary files, payload."""

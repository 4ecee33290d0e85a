"""Sentinel-1 SAFEs become L1B NetCDF, each with a quicklook and its STAC item."""

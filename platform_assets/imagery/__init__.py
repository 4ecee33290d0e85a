"""Raw images to cloud-optimised GeoTIFF, JPEG, thumbnail and STAC item."""

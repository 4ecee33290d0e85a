import hashlib
import subprocess
import sys
from dataclasses import replace

import rasterio

import platform_assets
from platform_assets.common.provenance import multihash_md5, multihash_sha256, parameters_digest, software
from platform_assets.imagery.model import Conversion, Profile


def test_the_versions_of_what_made_a_product_are_those_that_run():
    versions = software()
    assert versions["groundtrack"] == platform_assets.__version__
    assert versions["GDAL"] == rasterio.__gdal_version__
    assert versions["rasterio"] == rasterio.__version__


def test_a_package_that_is_not_installed_is_not_named():
    assert set(software(["no-such-distribution"])) == {"groundtrack", "GDAL"}


def test_a_digest_is_the_same_in_another_process():
    program = (
        "from platform_assets.common.provenance import parameters_digest; from platform_assets.imagery.model import Conversion; "
        "print(parameters_digest(Conversion()))"
    )
    other = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert other.stdout.strip() == parameters_digest(Conversion())


def test_every_parameter_changes_the_digest():
    default = Conversion()
    changes = {"profile": Profile.ZSTD, "resampling": "cubic", "jpeg_quality": 80, "thumbnail_px": 256}
    assert changes.keys() == set(Conversion.__slots__)
    digests = {parameters_digest(default), *(parameters_digest(replace(default, **{name: value})) for name, value in changes.items())}
    assert len(digests) == 1 + len(changes)


def test_a_multihash_names_its_algorithm_and_length(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"content" * 3_000_000)
    digest = hashlib.sha256(path.read_bytes())
    multihash = bytes.fromhex(multihash_sha256(path))
    assert (multihash[0], multihash[1], multihash[2:]) == (0x12, digest.digest_size, digest.digest())

    md5 = hashlib.md5(b"content")
    multihash = bytes.fromhex(multihash_md5(md5.hexdigest().upper()))
    code = (multihash[0] & 0x7F) | multihash[1] << 7  # a variable-length integer
    assert (code, multihash[2], multihash[3:]) == (0xD5, md5.digest_size, md5.digest())

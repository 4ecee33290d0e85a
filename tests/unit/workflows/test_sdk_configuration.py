import pytest

from platform_assets.workflows.sdk import TaskBase, Workflow
from platform_assets.workflows.sdk.configuration import mesh_address, variables
from platform_assets.workflows.sdk.telemetry import Telemetry
from resources.settings import load

MESH = '{"otlp-traces-endpoint": {"mesh_address": "collector", "mesh_port": 4318}}'


class Nothing(TaskBase):
    def run(self) -> None: ...


def urls(**environment: str) -> dict[str, str]:
    return Telemetry({}, environment)._urls


def test_c2_the_mesh_says_where_telemetry_goes():
    assert urls(MESH_CONFIG=MESH) == {"traces": "http://collector:4318/v1/traces", "metrics": ""}
    assert urls(MESH_CONFIG="{}") == urls(MESH_CONFIG="") == urls() == {"traces": "", "metrics": ""}


def test_c2_opentelemetrys_own_variables_count_more_than_the_mesh():
    given = {"MESH_CONFIG": MESH, "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://m/x", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://t/x"}
    assert urls(**given) == {"traces": "http://t/x", "metrics": "http://m/x"}


@pytest.mark.parametrize("text", ["{", "[]", "1", '{"a": 1}', '{"a": {}}', '{"a": {"mesh_address": "h", "mesh_port": "x"}}'])
def test_c2_a_mesh_that_cannot_be_read_is_a_clear_error(text):
    with pytest.raises(ValueError, match="MESH_CONFIG is not a JSON object of"):
        mesh_address({"MESH_CONFIG": text}, "a")


def test_c3_names_of_variables_are_read_in_any_case(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert urls(otel_exporter_otlp_endpoint="http://c:4318/") == {
        "traces": "http://c:4318/v1/traces",
        "metrics": "http://c:4318/v1/metrics",
    }
    monkeypatch.setenv("build_version", "3.1")
    assert Workflow(input_data="a", output_data="b", category="c", workflow_package="p").workflow_version == "3.1"
    monkeypatch.setenv("groundtrack_ui_port", "4000")
    assert load().ui_port == 4000


def test_c3_of_two_spellings_the_usual_one_counts():
    assert variables({"Build_Version": "1", "BUILD_VERSION": "2"}) == {"BUILD_VERSION": "2"}
    assert variables({"BUILD_VERSION": "2", "build_version": "1"}) == {"BUILD_VERSION": "2"}


def test_c1_an_unconfigured_task_has_no_endpoint_and_the_default_service(monkeypatch):
    telemetry = Telemetry({}, {})
    assert telemetry._resource == {"service.name": "groundtrack-workflows"}
    assert telemetry._attributes == {}

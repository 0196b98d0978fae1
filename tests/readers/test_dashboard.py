"""The saved objects that come with the pipelines, by the rules of OpenSearch Dashboards: its import takes them, and
each panel's request, as Dashboards would put it, finds the sample's documents in a real OpenSearch."""

import datetime
import json
import re
import urllib.request

import pytest

from conftest import ROOT, run, tripline

PIPELINES = ["taxi", "adtech"]

# What the types of saved objects are mapped to: the index of Dashboards is strict, and refuses any other attribute.
ATTRIBUTES = {
    "index-pattern": {
        "title", "timeFieldName", "fields", "fieldFormatMap", "sourceFilters", "intervalName", "notExpandable", "type",
        "typeMeta",
    },
    "visualization": {
        "title", "description", "version", "uiStateJSON", "visState", "kibanaSavedObjectMeta", "savedSearchRefName",
    },
    "dashboard": {
        "title", "description", "hits", "version", "panelsJSON", "optionsJSON", "timeRestore", "timeFrom", "timeTo",
        "refreshInterval", "kibanaSavedObjectMeta",
    },
}
# The last migration of each type: an object that says a later one is refused.
MIGRATED = {"index-pattern": (7, 6, 0), "visualization": (7, 10, 0), "dashboard": (7, 9, 3)}
# What an aggregation takes, of the kinds that Dashboards makes of mapped types. A `text` cannot be aggregated.
KINDS = {
    "keyword": "string", "date": "date", "boolean": "boolean", "ip": "ip",
    **dict.fromkeys(["byte", "short", "integer", "long", "float", "double", "half_float", "scaled_float"], "number"),
}
TAKES = {
    "terms": {"string", "number", "boolean", "date", "ip"},
    "date_histogram": {"date"},
    "avg": {"number"}, "sum": {"number"}, "min": {"number", "date"}, "max": {"number", "date"},
}
# A date histogram may have so many bars, unless a setting of Dashboards says otherwise.
MAX_BARS = 100
SECONDS = {"m": 60, "h": 3600, "d": 86400, "w": 604800}
# Intervals that a narrower one gives way to, in seconds.
PRETTY = [604800, 86400, 43200, 10800, 3600, 1800, 600, 300, 60, 30]


def saved_objects(name):
    text = (ROOT / "pipelines" / name / "dashboard.ndjson").read_text()
    objects = [json.loads(line) for line in text.splitlines()]
    for saved in objects:
        attributes = saved["attributes"]
        for member in ("visState", "uiStateJSON", "panelsJSON", "optionsJSON"):
            if member in attributes:
                attributes[member] = json.loads(attributes[member])
        if "kibanaSavedObjectMeta" in attributes:
            saved["search"] = json.loads(attributes["kibanaSavedObjectMeta"]["searchSourceJSON"])
    return {(saved["type"], saved["id"]): saved for saved in objects}


def of_type(objects, kind):
    return [saved for (its, _), saved in objects.items() if its == kind]


def referred(objects, saved, name):
    """What a reference of that name leads to."""
    [reference] = [reference for reference in saved["references"] if reference["name"] == name]
    return objects[reference["type"], reference["id"]]


def pattern_of(objects, chart):
    return referred(objects, chart, chart["search"]["indexRefName"])["attributes"]


def panels(objects):
    """Each panel's dashboard and chart."""
    for dashboard in of_type(objects, "dashboard"):
        for panel in dashboard["attributes"]["panelsJSON"]:
            yield dashboard["attributes"], referred(objects, dashboard, panel["panelRefName"])


def length(dashboard):
    """Seconds of the time that a dashboard opens with."""
    if relative := re.fullmatch(r"now-(\d+)([mhdw])", dashboard["timeFrom"]):
        assert dashboard["timeTo"] == "now"
        return int(relative[1]) * SECONDS[relative[2]]
    begin, end = (datetime.datetime.fromisoformat(dashboard[side]) for side in ("timeFrom", "timeTo"))
    return (end - begin).total_seconds()


def interval(dashboard, asked):
    """The seconds of a bar: those asked for, unless they make too many bars."""
    seconds, most = SECONDS[asked], length(dashboard) / MAX_BARS
    return seconds if seconds >= most else next(pretty for pretty in PRETTY if pretty <= most)


def aggregations(dashboard, chart):
    """A chart's aggregations as Dashboards puts them into its request, by their ids."""
    aggs = chart["attributes"]["visState"]["aggs"]
    measures = {
        agg["id"]: {agg["type"]: {"field": agg["params"]["field"]}}
        for agg in aggs if agg["schema"] == "metric" and agg["type"] != "count"
    }
    asked = measures
    for bucket in reversed([agg for agg in aggs if agg["schema"] != "metric"]):
        params, beside = bucket["params"], {}
        body = {"field": params["field"]}
        if bucket["type"] == "terms":
            by = params["orderBy"]
            # What orders the terms is asked for beside them.
            beside = {by: measures[by]} if by in measures else {}
            body |= {"order": {by if beside else "_count": params["order"]}, "size": params["size"]}
        else:
            bar = f"{interval(dashboard, params['interval'])}s"
            body |= {"fixed_interval": bar, "time_zone": "UTC", "min_doc_count": params["min_doc_count"]}
        asked = {bucket["id"]: {bucket["type"]: body, "aggs": asked | beside}}
    return asked


@pytest.fixture(scope="module")
def cluster(opensearch, daily, tmp_path_factory):
    """Asks a cluster that was prepared for each pipeline and has its sample."""
    for name in PIPELINES:
        folder = ROOT / "pipelines" / name
        tripline("setup", "--pipeline", folder, "--opensearch", opensearch)
        pipeline = daily if name == "taxi" else folder
        lake = tmp_path_factory.mktemp("lake")
        run(lake, "--opensearch", opensearch, pipeline=pipeline, source=folder / "sample")

    def ask(path, body=None):
        request = urllib.request.Request(
            opensearch + path, json.dumps(body).encode() if body else None, {"content-type": "application/json"}
        )
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)

    return ask


@pytest.mark.parametrize("name", PIPELINES)
def test_an_import_takes_every_object(name):
    lines = (ROOT / "pipelines" / name / "dashboard.ndjson").read_text().splitlines()
    objects = saved_objects(name)
    assert len(objects) == len(lines), "an import refuses an id that comes twice"
    for (kind, _), saved in objects.items():
        assert set(saved["attributes"]) <= ATTRIBUTES[kind], saved["id"]
        for what, version in saved.get("migrationVersion", {}).items():
            assert tuple(map(int, version.split("."))) <= MIGRATED[what], saved["id"]
        names = [reference["name"] for reference in saved["references"]]
        assert len(set(names)) == len(names)
        for reference in names:
            referred(objects, saved, reference)


@pytest.mark.parametrize("name", PIPELINES)
def test_panels_have_a_place_of_their_own(name):
    objects = saved_objects(name)
    for dashboard in of_type(objects, "dashboard"):
        taken = set()
        listed = dashboard["attributes"]["panelsJSON"]
        assert {panel["panelRefName"] for panel in listed} == {one["name"] for one in dashboard["references"]}
        for panel in listed:
            place = panel["gridData"]
            assert place["i"] == panel["panelIndex"]
            cells = {
                (x, y)
                for x in range(place["x"], place["x"] + place["w"])
                for y in range(place["y"], place["y"] + place["h"])
            }
            assert cells and max(x for x, _ in cells) < 48, "the grid has 48 columns"
            assert not cells & taken, f"{dashboard['id']}: panel {place['i']} lies over another"
            taken |= cells


@pytest.mark.parametrize("name", PIPELINES)
def test_charts_hang_together(name):
    for chart in of_type(saved_objects(name), "visualization"):
        state = chart["attributes"]["visState"]
        ids = [agg["id"] for agg in state["aggs"]]
        assert len(set(ids)) == len(ids), chart["id"]
        metrics = {agg["id"] for agg in state["aggs"] if agg["schema"] == "metric"}
        for agg in state["aggs"]:
            if agg["type"] == "terms":
                assert agg["params"]["orderBy"] in metrics, chart["id"]
        params = state["params"]
        axes = {axis["id"] for axis in params.get("valueAxes", [])}
        for series in params.get("seriesParams", []):
            assert series["data"]["id"] in metrics and series["valueAxis"] in axes, chart["id"]


@pytest.mark.parametrize("name", PIPELINES)
def test_a_label_never_names_another_interval_than_is_shown(name):
    """Dashboards widens an interval that makes too many bars, and says so on an axis without a label of its own."""
    for dashboard, chart in panels(saved_objects(name)):
        for agg in chart["attributes"]["visState"]["aggs"]:
            if agg["type"] == "date_histogram" and agg["params"].get("customLabel"):
                asked = agg["params"]["interval"]
                assert interval(dashboard, asked) == SECONDS[asked], chart["id"]


@pytest.mark.parametrize("name", PIPELINES)
def test_fields_have_types_that_their_aggregations_take(name, cluster):
    mapped = {}
    for template in cluster(f"/_index_template/tripline-{name}-*")["index_templates"]:
        for pattern in template["index_template"]["index_patterns"]:
            mapped[pattern] = template["index_template"]["template"]["mappings"]["properties"]
    objects = saved_objects(name)
    for pattern in of_type(objects, "index-pattern"):
        fields = mapped[pattern["attributes"]["title"]]
        assert fields[pattern["attributes"]["timeFieldName"]]["type"] == "date"
    for chart in of_type(objects, "visualization"):
        fields = mapped[pattern_of(objects, chart)["title"]]
        for agg in chart["attributes"]["visState"]["aggs"]:
            if agg["type"] != "count":
                kind = KINDS[fields[agg["params"]["field"]]["type"]]
                assert kind in TAKES[agg["type"]], (chart["id"], agg)


@pytest.mark.parametrize("name", PIPELINES)
def test_every_panel_shows_the_sample(name, cluster):
    """In the time that the dashboard opens with; one that opens with the last days is not about the sample."""
    objects, shown = saved_objects(name), 0
    for dashboard, chart in panels(objects):
        if dashboard["timeTo"] == "now":
            continue
        pattern = pattern_of(objects, chart)
        cluster(f"/{pattern['title']}/_refresh", {})
        chosen = {
            "gte": dashboard["timeFrom"], "lte": dashboard["timeTo"], "format": "strict_date_optional_time",
        }
        found = cluster(
            f"/{pattern['title']}/_search?track_total_hits=true",
            {
                "size": 0,
                "query": {"bool": {"filter": [{"match_all": {}}, {"range": {pattern["timeFieldName"]: chosen}}]}},
                "aggs": aggregations(dashboard, chart),
            },
        )
        documents = cluster(f"/{pattern['title']}/_count")["count"]
        # A few real trips have a wrong year.
        assert found["hits"]["total"]["value"] >= 0.99 * documents > 0, chart["id"]
        for agg in found.get("aggregations", {}).values():
            buckets = agg["buckets"]
            assert len(buckets) > 1, chart["id"]
            counted = sum(bucket["doc_count"] for bucket in buckets)
            assert counted + agg.get("sum_other_doc_count", 0) > 0.9 * documents, chart["id"]
            # A pie's slices are shares of all, not of those that have one.
            state = chart["attributes"]["visState"]
            if state["type"] == "pie" and agg["sum_other_doc_count"]:
                assert state["aggs"][1]["params"]["otherBucket"], chart["id"]
            for bucket in buckets:
                assert all(value.get("value", 0) is not None for value in bucket.values() if isinstance(value, dict))
        shown += 1
    assert shown == 6

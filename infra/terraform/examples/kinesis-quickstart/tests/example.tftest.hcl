mock_provider "aws" {
  source = "../../mocks"
}

variables {
  package_folder = "../../modules/pipeline/tests/package"
}

run "taxi" {
  assert {
    condition     = output.database == "tripline_trips" && output.functions == { ingest = "tripline-trips-ingest", publish = "tripline-trips-publish" }
    error_message = "Names are others."
  }
}

run "adtech" {
  variables {
    pipeline = "adtech"
    name     = "ads"
  }

  assert {
    condition     = output.database == "ads"
    error_message = "Names are others."
  }
}

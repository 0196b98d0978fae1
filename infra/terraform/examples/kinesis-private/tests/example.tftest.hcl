mock_provider "aws" {
  source = "../../mocks"
}

variables {
  package_folder    = "../../modules/pipeline/tests/package"
  search_master_arn = "arn:aws:iam::111122223333:role/admin"
}

run "lake_and_search_apart" {
  assert {
    condition     = jsonencode(output.functions) == jsonencode({ lake = "tripline-trips-lake", publish = "tripline-trips-publish", search = "tripline-trips-search" })
    error_message = "There are other functions."
  }
}

run "first_what_takes_long" {
  variables {
    deploy_pipeline = false
  }

  assert {
    condition     = length(output.functions) == 0 && output.search != null
    error_message = "There are functions already, or no domain."
  }
}

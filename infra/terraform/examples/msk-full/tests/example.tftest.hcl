mock_provider "aws" {
  source = "../../mocks"
}

variables {
  package_folder    = "../../modules/pipeline/tests/package"
  search_master_arn = "arn:aws:iam::111122223333:role/admin"
}

run "all_of_it" {
  variables {
    generator_plugin = { bucket_arn = "arn:aws:s3:::plugins", key = "msk-data-generator.jar" }
  }

  assert {
    condition     = length(output.functions) == 3 && strcontains(output.bootstrap_brokers, ":9098")
    error_message = "There are other functions."
  }
}

run "first_what_takes_long" {
  variables {
    deploy_pipeline = false
    cluster_kind    = "serverless"
  }

  assert {
    condition     = length(output.functions) == 0
    error_message = "There are functions already."
  }
}

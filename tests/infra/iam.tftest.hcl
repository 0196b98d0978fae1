# Renders the policies of Terraform's modules as tests/infra/iam.py wants them: run.sh puts this beside the tests of
# modules/pipeline. The names are those that CDK gives.

mock_provider "aws" {
  source = "../../mocks"
}

variables {
  name           = "tripline-trips"
  package_folder = "tests/package"
  bucket         = "tripline-trips-lake-111122223333-eu-central-1"
  prefix         = "taxi"
  lake           = { bucket = "tripline-trips-lake-111122223333-eu-central-1", prefix = "taxi" }
  source_stream  = { arn = "arn:aws:kinesis:eu-central-1:111122223333:stream/tripline-trips", retention_hours = 72 }

  failure_bucket_arn = "arn:aws:s3:::tripline-trips-failed-111122223333-eu-central-1"
}

run "lake" {
  module {
    source = "../lake"
  }

  variables {
    tables = jsondecode(file("../../tables/taxi.json"))
  }
}

run "domain" {
  module {
    source = "../search"
  }

  variables {
    master_arn       = "arn:aws:iam::111122223333:role/admin"
    client_role_arns = ["arn:aws:iam::111122223333:role/tripline-trips-search", "arn:aws:iam::111122223333:role/tripline-trips-ingest"]
    network          = { vpc_id = "vpc-1", subnet_ids = ["subnet-1", "subnet-2", "subnet-3"], client_security_group_ids = { functions = "sg-1" } }
  }
}

run "quickstart" {}

run "private" {
  variables {
    separate_search = true
    search          = { url = "https://vpc-trips.eu-central-1.es.amazonaws.com", arn = "arn:aws:es:eu-central-1:111122223333:domain/tripline-trips" }
    vpc             = { subnet_ids = ["subnet-1", "subnet-2"], security_group_ids = ["sg-1"] }
    kms_key_arn     = "arn:aws:kms:eu-central-1:111122223333:key/own"
    lake            = { bucket = "tripline-trips-lake-111122223333-eu-central-1", prefix = "taxi", kms_key_arn = "arn:aws:kms:eu-central-1:111122223333:key/own" }
    source_stream   = { arn = "arn:aws:kinesis:eu-central-1:111122223333:stream/tripline-trips", kms_key_arn = "arn:aws:kms:eu-central-1:111122223333:key/own", retention_hours = 72 }
  }
}

run "full" {
  variables {
    search           = { url = "https://vpc-trips.eu-central-1.es.amazonaws.com", arn = "arn:aws:es:eu-central-1:111122223333:domain/tripline-trips" }
    sink_stream      = { arn = "arn:aws:kinesis:eu-central-1:111122223333:stream/trips-clean" }
    backfill_sources = ["arn:aws:s3:::archive/trips/"]
    tracing          = true
  }
}

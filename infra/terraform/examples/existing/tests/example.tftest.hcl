mock_provider "aws" {
  source = "../../mocks"
}

variables {
  name           = "trips"
  package_folder = "../../modules/pipeline/tests/package"
  source_stream  = { arn = "arn:aws:kinesis:eu-central-1:111122223333:stream/ours" }
  bucket         = "ours"
  prefix         = "lakes/trips"
}

run "all_is_there" {
  variables {
    search             = { url = "https://vpc-ours.eu-central-1.es.amazonaws.com", arn = "arn:aws:es:eu-central-1:111122223333:domain/ours" }
    vpc                = { vpc_id = "vpc-1", subnet_ids = ["subnet-1"], route_table_ids = ["rtb-1"] }
    failure_bucket_arn = "arn:aws:s3:::failed"
    alarm_topic_arn    = "arn:aws:sns:eu-central-1:111122223333:ours"
  }

  assert {
    condition     = output.redrive.search == "TRIPLINE_SINKS=search tripline redrive --pipeline <folder> --lake s3://ours/lakes/trips --failed-batches s3://failed/aws/lambda --function trips-search --opensearch https://vpc-ours.eu-central-1.es.amazonaws.com"
    error_message = "Batches are elsewhere: ${output.redrive.search}"
  }

  assert {
    condition     = strcontains(output.bucket_policy_statements, "arn:aws:s3:::ours/lakes/trips/_journal/*")
    error_message = "The policy is for another lake."
  }
}

run "the_least" {
  assert {
    condition     = output.function_security_group_id == null && length(output.role_arns) == 2
    error_message = "There is more than was asked for."
  }
}

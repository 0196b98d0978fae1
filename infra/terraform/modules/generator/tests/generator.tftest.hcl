mock_provider "aws" {
  source = "../../mocks"
}

variables {
  name       = "ads"
  plugin     = { bucket_arn = "arn:aws:s3:::plugins", key = "msk-data-generator.jar" }
  subnet_ids = ["subnet-1"]
  cluster = {
    arn               = "arn:aws:kafka:eu-central-1:111122223333:cluster/ads/abc-1"
    bootstrap_brokers = "b-1.ads:9098"
    security_group_id = "sg-1"
  }
}

run "it_writes_its_topics_only" {
  assert {
    condition = jsonencode([for statement in jsondecode(aws_iam_role_policy.this.policy).Statement : statement.Resource if statement.Sid == "WriteTopics"][0]) == jsonencode([
      "arn:aws:kafka:eu-central-1:111122223333:topic/ads/abc-1/clicks", "arn:aws:kafka:eu-central-1:111122223333:topic/ads/abc-1/impressions",
    ])
    error_message = "It may write elsewhere: ${aws_iam_role_policy.this.policy}"
  }

  assert {
    condition     = aws_mskconnect_custom_plugin.this.content_type == "JAR" && aws_mskconnect_connector.this.connector_configuration["value.converter.schemas.enable"] == "false"
    error_message = "Events are no plain JSON."
  }
}

mock_provider "aws" {
  source = "../../mocks"
}

variables {
  name = "trips"
}

run "on_demand_and_encrypted" {
  assert {
    condition = (
      aws_kinesis_stream.this.stream_mode_details[0].stream_mode == "ON_DEMAND" && aws_kinesis_stream.this.shard_count == null
      && aws_kinesis_stream.this.encryption_type == "KMS" && aws_kinesis_stream.this.kms_key_id == "alias/aws/kinesis"
      && aws_kinesis_stream.this.enforce_consumer_deletion
    )
    error_message = "The stream is not as it should be by default."
  }
}

run "provisioned_with_a_key" {
  variables {
    mode        = "PROVISIONED"
    shard_count = 4
    kms_key_arn = "arn:aws:kms:eu-central-1:111122223333:key/own"
  }

  assert {
    condition     = aws_kinesis_stream.this.shard_count == 4 && aws_kinesis_stream.this.kms_key_id == "arn:aws:kms:eu-central-1:111122223333:key/own"
    error_message = "Shards or key are not taken."
  }
}

run "wrong_settings_are_refused" {
  command = plan

  variables {
    mode            = "EXPRESS"
    shard_count     = 0
    retention_hours = 1
  }

  expect_failures = [var.mode, var.shard_count, var.retention_hours]
}

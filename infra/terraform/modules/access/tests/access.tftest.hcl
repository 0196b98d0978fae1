mock_provider "aws" {
  source = "../../mocks"
}

variables {
  name    = "trips"
  network = { vpc_id = "vpc-1", subnet_id = "subnet-1", endpoint_security_group_id = "sg-1" }
}

run "nobody_comes_in" {
  assert {
    condition = (
      !aws_instance.this.associate_public_ip_address && aws_instance.this.metadata_options[0].http_tokens == "required"
      && aws_instance.this.root_block_device[0].encrypted
    )
    error_message = "The instance is open."
  }

  assert {
    condition     = alltrue([for action in jsondecode(aws_iam_role_policy.this.policy).Statement[0].Action : !strcontains(action, "*")])
    error_message = "The instance may do too much."
  }
}

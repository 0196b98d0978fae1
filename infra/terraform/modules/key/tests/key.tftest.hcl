mock_provider "aws" {
  source = "../../mocks"
}

variables {
  name = "trips"
}

run "only_the_account_has_every_right" {
  assert {
    condition = join(" ", [
      for statement in jsondecode(aws_kms_key.this.policy).Statement : statement.Sid if anytrue([for action in flatten([statement.Action]) : strcontains(action, "*")])
    ]) == "Account"
    error_message = "A service may do too much with the key: ${aws_kms_key.this.policy}"
  }

  assert {
    condition     = aws_kms_key.this.enable_key_rotation
    error_message = "The key does not rotate."
  }
}

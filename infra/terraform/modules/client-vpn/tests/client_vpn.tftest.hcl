mock_provider "aws" {
  source = "../../mocks"
}

variables {
  name                   = "trips"
  network                = { vpc_id = "vpc-1", cidr = "10.42.0.0/16", subnet_id = "subnet-1" }
  server_certificate_arn = "arn:aws:acm:eu-central-1:111122223333:certificate/server"
  saml_provider_arn      = "arn:aws:iam::111122223333:saml-provider/sso"
}

run "by_single_sign_on" {
  assert {
    condition     = aws_ec2_client_vpn_endpoint.this.split_tunnel && aws_ec2_client_vpn_endpoint.this.dns_servers[0] == "10.42.0.2" && aws_ec2_client_vpn_endpoint.this.connection_log_options[0].enabled
    error_message = "Clients find no private names, or send everything through."
  }
}

run "two_ways_to_sign_in_are_refused" {
  command = plan

  variables {
    client_certificate_arn = "arn:aws:acm:eu-central-1:111122223333:certificate/client"
    client_cidr            = "10.250.0.0/24"
  }

  expect_failures = [var.saml_provider_arn, var.client_cidr]
}

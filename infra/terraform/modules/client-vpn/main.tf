# A VPN for people, where forwarding a port is not enough. It costs by the hour as long as it is there.

locals {
  is_saml = var.saml_provider_arn != null
}

resource "aws_security_group" "this" {
  name        = "${var.name}-vpn"
  description = "Clients of the VPN"
  vpc_id      = var.network.vpc_id
  tags        = merge(var.tags, { Name = "${var.name}-vpn" })
}

resource "aws_cloudwatch_log_group" "this" {
  name              = "/tripline/${var.name}/vpn"
  retention_in_days = var.log_retention_days
  kms_key_id        = var.kms_key_arn
  tags              = var.tags
}

resource "aws_cloudwatch_log_stream" "this" {
  name           = "connections"
  log_group_name = aws_cloudwatch_log_group.this.name
}

resource "aws_ec2_client_vpn_endpoint" "this" {
  description            = "Tripline ${var.name}"
  vpc_id                 = var.network.vpc_id
  client_cidr_block      = var.client_cidr
  server_certificate_arn = var.server_certificate_arn
  security_group_ids     = [aws_security_group.this.id]
  # The VPC's resolver, so that private names are found.
  dns_servers = [cidrhost(var.network.cidr, 2)]
  # Only what is for the VPC goes through it.
  split_tunnel = true
  tags         = merge(var.tags, { Name = var.name })

  authentication_options {
    type                       = local.is_saml ? "federated-authentication" : "certificate-authentication"
    saml_provider_arn          = var.saml_provider_arn
    root_certificate_chain_arn = var.client_certificate_arn
  }

  connection_log_options {
    enabled               = true
    cloudwatch_log_group  = aws_cloudwatch_log_group.this.name
    cloudwatch_log_stream = aws_cloudwatch_log_stream.this.name
  }
}

resource "aws_ec2_client_vpn_network_association" "this" {
  client_vpn_endpoint_id = aws_ec2_client_vpn_endpoint.this.id
  subnet_id              = var.network.subnet_id
}

resource "aws_ec2_client_vpn_authorization_rule" "this" {
  client_vpn_endpoint_id = aws_ec2_client_vpn_endpoint.this.id
  description            = "The VPC; groups say what can be reached in it"
  target_network_cidr    = var.network.cidr
  authorize_all_groups   = true
}

# A search cluster in the VPC: a domain of Amazon OpenSearch Service (domain.tf), or a collection of OpenSearch
# Serverless (serverless.tf). Only the groups that are named come in.

data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}
data "aws_region" "current" {}

locals {
  account   = data.aws_caller_identity.current.account_id
  partition = data.aws_partition.current.partition
  region    = data.aws_region.current.name

  is_domain = var.kind == "domain"
}

resource "aws_security_group" "this" {
  name        = "${var.name}-search"
  description = "Search cluster"
  vpc_id      = var.network.vpc_id
  tags        = merge(var.tags, { Name = "${var.name}-search" })
}

resource "aws_vpc_security_group_ingress_rule" "clients" {
  for_each = var.network.client_security_group_ids

  security_group_id            = aws_security_group.this.id
  description                  = each.key
  referenced_security_group_id = each.value
  ip_protocol                  = "tcp"
  from_port                    = 443
  to_port                      = 443
}

resource "aws_vpc_security_group_egress_rule" "clients" {
  for_each = var.network.client_security_group_ids

  security_group_id            = each.value
  description                  = "Search cluster ${var.name}"
  referenced_security_group_id = aws_security_group.this.id
  ip_protocol                  = "tcp"
  from_port                    = 443
  to_port                      = 443
}

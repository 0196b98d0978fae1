mock_provider "aws" {
  source = "../../mocks"
}

variables {
  name      = "trips"
  endpoints = ["lambda", "sts"]
}

run "three_zones_and_no_way_out" {
  assert {
    condition = (
      length(aws_subnet.private) == 3 && length(aws_subnet.public) == 0 && length(aws_nat_gateway.this) == 0
      && length(aws_internet_gateway.this) == 0 && length(aws_route.out) == 0
    )
    error_message = "There is a way out that nobody asked for."
  }

  assert {
    condition     = aws_vpc.this[0].enable_dns_hostnames && aws_vpc.this[0].enable_dns_support && alltrue([for endpoint in aws_vpc_endpoint.interface : endpoint.private_dns_enabled])
    error_message = "Endpoints are not found by name."
  }

  assert {
    condition = alltrue(flatten([
      for policy in concat(values(aws_vpc_endpoint.interface)[*].policy, aws_vpc_endpoint.s3[*].policy) : [
        for statement in jsondecode(policy).Statement : [for action in flatten([statement.Action]) : !strcontains(action, "*")]
      ]
    ]))
    error_message = "An endpoint lets any action through."
  }

  assert {
    condition = alltrue(flatten([
      for policy in concat(values(aws_vpc_endpoint.interface)[*].policy, aws_vpc_endpoint.s3[*].policy) : [
        for statement in jsondecode(policy).Statement : try(statement.Condition.StringEquals["aws:PrincipalAccount"], "") == "111122223333" || statement.Sid == "Pollers"
      ]
    ]))
    error_message = "An endpoint lets other accounts through."
  }

  # Rules name groups and lists, no addresses.
  assert {
    condition = alltrue([
      for rule in concat(aws_vpc_security_group_egress_rule.functions_to_endpoints, aws_vpc_security_group_ingress_rule.endpoints_from_functions, aws_vpc_security_group_egress_rule.functions_to_s3) :
      rule.cidr_ipv4 == null && rule.from_port == 443 && rule.to_port == 443
    ])
    error_message = "A rule is by address, or for another port."
  }
}

run "only_the_lake_s_bucket" {
  variables {
    s3_bucket_arns = ["arn:aws:s3:::trips-lake"]
    endpoints      = []
    zones          = 2
  }

  assert {
    condition     = jsonencode(jsondecode(aws_vpc_endpoint.s3[0].policy).Statement[0].Resource) == jsonencode(["arn:aws:s3:::trips-lake", "arn:aws:s3:::trips-lake/*"])
    error_message = "The endpoint lets other buckets through."
  }

  assert {
    condition     = length(aws_security_group.endpoints) == 0 && length(aws_vpc_endpoint.interface) == 0 && length(aws_subnet.private) == 2
    error_message = "There are endpoints that nobody asked for."
  }
}

run "ways_out" {
  variables {
    nat           = "single"
    flow_log_days = 7
  }

  assert {
    condition     = length(aws_nat_gateway.this) == 1 && length(aws_route.out) == 3 && length(aws_subnet.public) == 1 && length(aws_flow_log.this) == 1
    error_message = "One gateway serves all zones."
  }
}

run "a_way_out_in_each_zone" {
  variables {
    nat = "zonal"
  }

  assert {
    condition     = length(aws_nat_gateway.this) == 3 && length(aws_eip.nat) == 3 && length(setsubtract([for subnet in aws_subnet.public : subnet.cidr_block], ["10.42.192.0/22", "10.42.196.0/22", "10.42.200.0/22"])) == 0
    error_message = "Each zone has its own gateway."
  }
}

run "a_vpc_that_is_there" {
  variables {
    existing = { vpc_id = "vpc-1", subnet_ids = ["subnet-1", "subnet-2"], route_table_ids = ["rtb-1"] }
  }

  assert {
    condition = (
      length(aws_vpc.this) == 0 && length(aws_subnet.private) == 0 && output.vpc_id == "vpc-1"
      && aws_security_group.functions.vpc_id == "vpc-1" && aws_vpc_endpoint.s3[0].route_table_ids == toset(["rtb-1"])
    )
    error_message = "A VPC that is there is not made again."
  }
}

run "wrong_settings_are_refused" {
  command = plan

  variables {
    cidr      = "10.0.0.0/28"
    zones     = 1
    nat       = "all"
    endpoints = ["s3express"]
  }

  expect_failures = [var.cidr, var.zones, var.nat, var.endpoints]
}

mock_provider "aws" {
  source = "../../mocks"
}

variables {
  name = "ads"
  network = {
    vpc_id                    = "vpc-1"
    subnet_ids                = ["subnet-1", "subnet-2", "subnet-3"]
    client_security_group_ids = { generator = "sg-1" }
  }
}

run "provisioned" {
  assert {
    condition = (
      aws_msk_cluster.this[0].encryption_info[0].encryption_in_transit[0].client_broker == "TLS"
      && !aws_msk_cluster.this[0].client_authentication[0].unauthenticated && aws_msk_cluster.this[0].client_authentication[0].sasl[0].iam
      && aws_msk_cluster.this[0].broker_node_group_info[0].connectivity_info[0].public_access[0].type == "DISABLED"
      && aws_msk_cluster.this[0].logging_info[0].broker_logs[0].cloudwatch_logs[0].enabled
    )
    error_message = "The cluster is less safe than it should be."
  }

  assert {
    condition     = strcontains(aws_msk_configuration.this[0].server_properties, "min.insync.replicas=2") && strcontains(aws_msk_configuration.this[0].server_properties, "default.replication.factor=3")
    error_message = "A broker that is lost takes records with it."
  }

  assert {
    condition     = alltrue([for rule in aws_vpc_security_group_ingress_rule.clients : rule.cidr_ipv4 == null && rule.from_port == 9098])
    error_message = "Others come in."
  }
}

run "serverless" {
  variables {
    kind = "serverless"
  }

  assert {
    condition     = length(aws_msk_cluster.this) == 0 && aws_msk_serverless_cluster.this[0].client_authentication[0].sasl[0].iam[0].enabled && strcontains(output.bootstrap_brokers, "serverless")
    error_message = "There is a provisioned cluster, or one without IAM."
  }
}

run "wrong_settings_are_refused" {
  command = plan

  variables {
    kind    = "express"
    brokers = { count = 4 }
  }

  expect_failures = [var.kind, var.brokers]
}

mock_provider "aws" {
  source = "../../mocks"
}

variables {
  name             = "trips"
  master_arn       = "arn:aws:iam::111122223333:role/admin"
  client_role_arns = ["arn:aws:iam::111122223333:role/trips-ingest"]
  network = {
    vpc_id                    = "vpc-1"
    subnet_ids                = ["subnet-1", "subnet-2", "subnet-3"]
    client_security_group_ids = { functions = "sg-1" }
  }
}

run "a_domain" {
  assert {
    condition = (
      aws_opensearch_domain.this[0].encrypt_at_rest[0].enabled && aws_opensearch_domain.this[0].node_to_node_encryption[0].enabled
      && aws_opensearch_domain.this[0].domain_endpoint_options[0].enforce_https
      && strcontains(aws_opensearch_domain.this[0].domain_endpoint_options[0].tls_security_policy, "TLS-1-2")
      && aws_opensearch_domain.this[0].advanced_security_options[0].enabled
      && !aws_opensearch_domain.this[0].advanced_security_options[0].internal_user_database_enabled
      && length(aws_opensearch_domain.this[0].log_publishing_options) == 4
    )
    error_message = "The domain is less safe than it should be."
  }

  assert {
    condition     = aws_opensearch_domain.this[0].advanced_options["rest.action.multi.allow_explicit_index"] == "true"
    error_message = "Bulk requests name an index for each document."
  }

  assert {
    condition = jsonencode({
      for statement in jsondecode(aws_opensearch_domain_policy.this[0].access_policies).Statement : statement.Sid => [statement.Principal.AWS, statement.Resource]
      }) == jsonencode({
      Administer = [["arn:aws:iam::111122223333:role/admin"], "arn:aws:es:eu-central-1:111122223333:domain/trips/*"]
      Index      = [["arn:aws:iam::111122223333:role/trips-ingest"], "arn:aws:es:eu-central-1:111122223333:domain/trips/_bulk"]
    })
    error_message = "Others may ask the domain: ${aws_opensearch_domain_policy.this[0].access_policies}"
  }

  assert {
    condition     = alltrue([for rule in aws_vpc_security_group_ingress_rule.clients : rule.referenced_security_group_id == "sg-1" && rule.cidr_ipv4 == null && rule.from_port == 443])
    error_message = "Others come in."
  }

  assert {
    condition     = output.search.kind == "domain" && output.search.url == "https://vpc-mock-0123456789.eu-central-1.es.amazonaws.com" && length(aws_cloudwatch_metric_alarm.this) == 0
    error_message = "The pipeline gets another cluster."
  }
}

run "a_domain_before_the_functions" {
  variables {
    client_role_arns = []
    alarm_topic_arn  = "arn:aws:sns:eu-central-1:111122223333:ours"
    create_alarms    = true
    instances        = { count = 2, zones = 2, master_type = "m7g.large.search" }
  }

  assert {
    condition     = length(jsondecode(aws_opensearch_domain_policy.this[0].access_policies).Statement) == 1 && length(aws_cloudwatch_metric_alarm.this) == 6
    error_message = "A domain can be there before the functions."
  }

  assert {
    condition     = length(aws_opensearch_domain.this[0].vpc_options[0].subnet_ids) == 2 && aws_opensearch_domain.this[0].cluster_config[0].dedicated_master_count == 3
    error_message = "Nodes are elsewhere."
  }
}

run "a_collection" {
  variables {
    kind       = "serverless"
    master_arn = null
  }

  assert {
    condition = (
      length(aws_opensearch_domain.this) == 0 && aws_opensearchserverless_collection.this[0].type == "SEARCH"
      && !jsondecode(aws_opensearchserverless_security_policy.network[0].policy)[0].AllowFromPublic
      && jsondecode(aws_opensearchserverless_security_policy.encryption[0].policy).AWSOwnedKey
    )
    error_message = "The collection is open, or takes no ids."
  }

  assert {
    condition     = jsonencode(jsondecode(aws_opensearchserverless_access_policy.this[0].policy)[0].Rules[0].Permission) == jsonencode(["aoss:CreateIndex", "aoss:WriteDocument"])
    error_message = "Functions may do more than index."
  }
}

run "a_collection_with_a_key" {
  variables {
    kind        = "serverless"
    kms_key_arn = "arn:aws:kms:eu-central-1:111122223333:key/own"
  }

  assert {
    condition     = jsondecode(aws_opensearchserverless_security_policy.encryption[0].policy).KmsARN == "arn:aws:kms:eu-central-1:111122223333:key/own"
    error_message = "Another key is used."
  }
}

run "wrong_settings_are_refused" {
  command = plan

  variables {
    master_arn     = null
    engine_version = "Elasticsearch_7.10"
    instances      = { count = 4, zones = 3 }
  }

  expect_failures = [var.master_arn, var.engine_version, var.instances]
}

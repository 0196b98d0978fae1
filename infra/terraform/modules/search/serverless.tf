resource "aws_opensearchserverless_security_policy" "encryption" {
  count = local.is_domain ? 0 : 1

  name = var.name
  type = "encryption"
  policy = jsonencode(merge(
    { Rules = [{ ResourceType = "collection", Resource = ["collection/${var.name}"] }] },
    { for key, value in { AWSOwnedKey = var.kms_key_arn == null ? true : null, KmsARN = var.kms_key_arn } : key => value if value != null },
  ))
}

resource "aws_opensearchserverless_vpc_endpoint" "this" {
  count = local.is_domain ? 0 : 1

  name               = var.name
  vpc_id             = var.network.vpc_id
  subnet_ids         = var.network.subnet_ids
  security_group_ids = [aws_security_group.this.id]
}

resource "aws_opensearchserverless_security_policy" "network" {
  count = local.is_domain ? 0 : 1

  name = var.name
  type = "network"
  policy = jsonencode([{
    Rules = [
      { ResourceType = "collection", Resource = ["collection/${var.name}"] },
      { ResourceType = "dashboard", Resource = ["collection/${var.name}"] },
    ]
    AllowFromPublic = false
    SourceVPCEs     = [aws_opensearchserverless_vpc_endpoint.this[0].id]
  }])
}

resource "aws_opensearchserverless_access_policy" "this" {
  count = local.is_domain ? 0 : 1

  name = var.name
  type = "data"
  policy = jsonencode(concat(
    length(var.client_role_arns) == 0 ? [] : [{
      Description = "Functions index"
      Rules       = [{ ResourceType = "index", Resource = ["index/${var.name}/*"], Permission = ["aoss:CreateIndex", "aoss:WriteDocument"] }]
      Principal   = var.client_role_arns
    }],
    length(var.admin_arns) == 0 ? [] : [{
      Description = "Administrators set up and look"
      Rules = [
        {
          ResourceType = "index"
          Resource     = ["index/${var.name}/*"]
          Permission   = ["aoss:CreateIndex", "aoss:DeleteIndex", "aoss:UpdateIndex", "aoss:DescribeIndex", "aoss:ReadDocument", "aoss:WriteDocument"]
        },
        {
          ResourceType = "collection"
          Resource     = ["collection/${var.name}"]
          Permission   = ["aoss:CreateCollectionItems", "aoss:UpdateCollectionItems", "aoss:DescribeCollectionItems"]
        },
      ]
      Principal = var.admin_arns
    }],
  ))

  lifecycle {
    precondition {
      condition     = length(var.client_role_arns) + length(var.admin_arns) > 0
      error_message = "Nobody may use the collection: name client_role_arns or admin_arns."
    }
  }
}

resource "aws_opensearchserverless_collection" "this" {
  count = local.is_domain ? 0 : 1

  name             = var.name
  type             = "SEARCH"
  standby_replicas = var.standby_replicas ? "ENABLED" : "DISABLED"
  tags             = var.tags

  depends_on = [aws_opensearchserverless_security_policy.encryption, aws_opensearchserverless_security_policy.network]
}

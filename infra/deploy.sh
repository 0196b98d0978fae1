#!/usr/bin/env bash
# Puts an example of infra/terraform/examples up with the zips of `make package`, or destroys it: `make deploy` and
# `make destroy` call it.
#
# usage: deploy.sh apply|destroy EXAMPLE [ARGUMENT…]
#
# Arguments go to terraform, as in `-var name=trips` or `-auto-approve`. Give `destroy` the variables of `apply`.
set -euo pipefail
cd "$(dirname "$0")/.."

what="${1:?apply or destroy}" example="${2:-}"
shift 2 || shift
examples="infra/terraform/examples" package_folder="${CARGO_TARGET_DIR:-$PWD/target}/lambda"
[[ "$package_folder" == /* ]] || package_folder="$PWD/$package_folder"

lacks() {
  printf 'make %s: %s\n' "${what/apply/deploy}" "$*" >&2
  exit 1
}

[[ -n "$example" && -d "$examples/$example" ]] \
  || lacks "EXAMPLE=$example: one of $(ls "$examples" | paste -sd, | sed 's/,/, /g')"
command -v terraform > /dev/null || lacks "Terraform 1.9 or later is not installed: https://developer.hashicorp.com/terraform/install"
for zip in ingest publish; do
  [[ -e "$package_folder/$zip.zip" ]] || lacks "$package_folder/$zip.zip is not there: make package"
done
architecture="$(python3 infra/package.py --architecture-of "$package_folder/ingest.zip")"
[[ -n "${AWS_ACCESS_KEY_ID:-}${AWS_PROFILE:-}${AWS_WEB_IDENTITY_TOKEN_FILE:-}${AWS_CONTAINER_CREDENTIALS_RELATIVE_URI:-}${AWS_CONTAINER_CREDENTIALS_FULL_URI:-}" \
  || -e "$HOME/.aws/credentials" || -e "$HOME/.aws/config" ]] \
  || lacks "no credentials of AWS: aws configure, or set AWS_PROFILE"

cd "$examples/$example"
for variable in $(awk '/^variable/ { name = $2; given = 0 } /^  default/ { given = 1 } /^}/ { if (name && !given) print name; name = "" }' variables.tf | tr -d '"'); do
  given="TF_VAR_$variable"
  [[ -n "${!given:-}" || " $* " == *"$variable="* ]] || grep -qs "^ *$variable *=" ./*.tfvars ./*.tfvars.json \
    || lacks "$example needs $variable: put it into $examples/$example/terraform.tfvars, or export $given"
done
terraform init -input=false
terraform "$what" -var "package_folder=$package_folder" -var "architecture=$architecture" "$@"

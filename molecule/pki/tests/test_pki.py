"""What the role pki leaves on a machine."""

testinfra_hosts = ["ssh://hub", "ssh://node-b"]

SITES = {"hub": "hub", "node-b": "site-b"}


def certificate(host, *options):
    return host.check_output(f"openssl x509 -in /etc/cllmh/pki/host.crt -noout {' '.join(options)}")


def name_of(host):
    return host.check_output("uname -n")


def test_certificate_is_signed_by_our_authority(host):
    assert host.check_output("openssl verify -CAfile /etc/cllmh/pki/ca.crt /etc/cllmh/pki/host.crt").endswith(": OK")


def test_certificate_names_the_machine_its_site_and_addresses(host):
    name = name_of(host)
    subject = certificate(host, "-subject", "-nameopt", "RFC2253")
    assert subject == f"subject=O=CLLMH,OU={SITES[name]},CN={name}"
    names = certificate(host, "-ext", "subjectAltName").split("\n")[-1].strip().split(", ")
    assert f"DNS:{name}" in names
    assert f"DNS:{name}.example.org" in names
    assert [entry for entry in names if entry.startswith("IP Address:10.77.")]


def test_certificate_serves_both_ends_of_tls(host):
    usage = certificate(host, "-ext", "extendedKeyUsage")
    assert "TLS Web Server Authentication" in usage
    assert "TLS Web Client Authentication" in usage


def test_certificate_lasts_longer_than_the_renewal_period(host):
    certificate(host, "-checkend", str(60 * 86400))


def test_key_belongs_to_the_certificate_and_to_the_services(host):
    key = host.file("/etc/cllmh/pki/host.key")
    assert (key.user, key.group, key.mode) == ("root", "cllmh", 0o640)
    public = host.check_output("openssl pkey -in /etc/cllmh/pki/host.key -pubout")
    assert public == certificate(host, "-pubkey")

internal import Broker
internal import SPIFFE

/// What needs client certificates where no client can have one: the public listener asks for them only with TLS and a
/// trust domain. A proxy that is trusted changes nothing, since what it forwards counts only beside a certificate of its
/// own.
enum CertificateUse {
    static func notes(
        _ configuration: BrokerConfiguration, _ rules: [RuleEntry], _ trustDomains: TrustDomainSection
    ) -> [ConfigurationNote] {
        guard !configuration.requestsClientCertificates else { return [] }
        let reason =
            switch configuration.server.publicTLS {
            case nil: "without server.public.tls"
            case .some(let tls) where !tls.requestsClientCertificates: "with client_certificates: off"
            case .some: "without a trust domain"
            }
        let binding = rules.compactMap { entry in
            entry.bindPlace.flatMap { entry.rule.terms.bindsCertificate ? (entry.rule, $0) : nil }
        }
        return binding.map { rule, place in
            ConfigurationNote(
                place: place,
                text: "rule \(rule.name) binds its tokens to a client certificate, and \(reason) no client has one: "
                    + "nobody gets a token by it")
        } + configuration.trustDomains.compactMap { unusable($0, trustDomains, reason) }
    }

    /// A bundle that only X.509-SVIDs could be verified with. An empty one is reported where it is read.
    private static func unusable(
        _ domain: TrustDomainConfiguration, _ trustDomains: TrustDomainSection, _ reason: String
    ) -> ConfigurationNote? {
        guard case .file(let bundle, let path) = domain.bundle, bundle.jwtKeys.isEmpty, !bundle.isEmpty,
            let place = trustDomains.names[domain.name]
        else { return nil }
        return ConfigurationNote(
            place: place,
            text: "\(path) has no key for JWT-SVIDs, and \(reason) no X.509-SVID can be presented: no workload of "
                + "\(domain.name) gets a token")
    }
}

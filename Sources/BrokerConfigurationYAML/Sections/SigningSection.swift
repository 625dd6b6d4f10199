internal import Broker
internal import JOSE

/// `tokens.signing`
enum SigningSection {
    static func read(_ node: YAMLNode, _ problems: Problems) -> SigningConfiguration? {
        let fields = Fields(
            node, "tokens.signing", known: ["algorithm", "rotate_every", "publish_lead"], problems: problems)
        guard let fields else { return nil }
        let standard = SigningConfiguration()
        let algorithm =
            fields["algorithm"].map { $0.choice(problems, of: ["ES256": .ES256, "EdDSA": .EdDSA]) }
            ?? standard.algorithm
        let rotation =
            fields["rotate_every"].map { $0.duration(problems, in: SigningConfiguration.rotations) }
            ?? standard.rotateEvery
        let lead =
            fields["publish_lead"].map { $0.duration(problems, in: SigningConfiguration.leads) }
            ?? standard.publishLead
        guard let algorithm, let rotation, let lead else { return nil }
        guard lead < rotation else {
            // The fault is where something is written; the other may be the standard.
            if let written = fields["publish_lead"] {
                return written.refused(
                    problems, "expected a duration of less than rotate_every, which is \(rotation.written)")
            }
            return (fields["rotate_every"] ?? node).refused(
                problems, "expected a duration of more than publish_lead, which is \(lead.written)")
        }
        return SigningConfiguration(algorithm: algorithm, rotateEvery: rotation, publishLead: lead)
    }
}

extension YAMLNode {
    /// The same as `duration(_:atMost:)`, with a lower bound.
    fileprivate func duration(_ problems: Problems, in bounds: ClosedRange<Duration>) -> Duration? {
        guard let duration = duration(problems, atMost: bounds.upperBound) else { return nil }
        guard duration >= bounds.lowerBound else {
            return refused(problems, "expected a duration of at least \(bounds.lowerBound.written)")
        }
        return duration
    }
}

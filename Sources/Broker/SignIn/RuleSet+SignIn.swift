package import FoundationEssentials

extension RuleSet {
    /// What somebody who signed in may have on a device: what the first rule that matches grants him.
    /// - Returns: nil where no rule does, where its tokens are bound to a certificate, which a device that polls does not
    ///   show, and where an administrator keeps him out.
    package func grantForDevice(
        to subject: VerifiedSubject, whileRevoked revocations: RevocationSet, at now: Date
    ) -> Grant? {
        guard case .granted(let grant) = match(subject, naming: nil), !grant.isForBroker, !grant.bindsCertificate,
            revocations.blocks(subject: subject.identity, actor: nil, rule: grant.rule, at: now) == nil
        else { return nil }
        return grant
    }
}

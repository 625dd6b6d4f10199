/// What became of reading the configuration again while the broker serves.
package enum ReloadOutcome: Sendable {
    /// The new rules, issuers and trust domains are in force for every request that begins now; or, where the difference
    /// is empty, nothing had changed.
    /// - Parameter warnings: what `daypassd check` warns of.
    case applied(ConfigurationDifference, warnings: [String])
    /// Every error, with file, line and column where it has them. What was in force stays in force.
    case refused([String])
}

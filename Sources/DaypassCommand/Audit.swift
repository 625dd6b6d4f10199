import ArgumentParser

/// `daypass audit`
struct Audit: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "The audit record: what the broker decided, for whom and why.",
        discussion: "Example: daypass audit verify",
        subcommands: [AuditVerify.self])
}

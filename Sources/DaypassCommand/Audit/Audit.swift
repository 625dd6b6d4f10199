import ArgumentParser

/// `daypass audit`
struct Audit: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "The audit record: what the broker decided, for whom and why.",
        discussion: "Example: daypass audit search --subject github:repo:acme/app:ref:refs/heads/main --since 24h",
        subcommands: [AuditSearch.self, AuditTail.self, AuditExport.self, AuditVerify.self])
}

import BrokerClient

/// Whose way to a token `daypass doctor` goes: the helper's, else that of federation, else that of `daypass token` as it is
/// called here. Flags win over what a helper is told.
struct CheckedSetup {
    let helper: ClaudeCodeHelper?
    /// Nil where a helper wins over it.
    let federation: Federation?
    let arguments: TokenArguments
    /// With what the helper's line sets, without variables that are empty.
    let environment: [String: String]
    /// Whether the folder in which this runs, and nobody else, says who the broker is, or what is sent to it.
    let isProjects: Bool

    init(_ variables: ClientVariables, _ flags: TokenArguments) {
        helper = ClaudeCodeHelper(variables)
        federation = helper == nil ? Federation(variables) : nil
        let token = helper?.token
        var arguments = token?.arguments ?? TokenArguments()
        arguments.url = flags.url ?? arguments.url
        arguments.identity = flags.identity ?? arguments.identity
        arguments.audience = flags.audience ?? arguments.audience
        arguments.caFile = flags.caFile ?? arguments.caFile
        self.arguments = arguments
        var environment = token == nil ? variables.environment : helper?.variables ?? variables.environment
        // Federation reads it where the settings set it as well.
        environment["ANTHROPIC_IDENTITY_TOKEN"] = variables["ANTHROPIC_IDENTITY_TOKEN"]
        self.environment = environment
        let named = (flags.url ?? variables.environment["DAYPASS_URL"]).flatMap { BrokerAddress.origin(parsing: $0) }
        let told = (arguments.url ?? environment["DAYPASS_URL"]).flatMap { BrokerAddress.origin(parsing: $0) }
        let own = variables.environment
        let isOwn =
            named != nil && named == told
            && (arguments.caFile ?? environment["DAYPASS_CA_FILE"]) == (flags.caFile ?? own["DAYPASS_CA_FILE"])
            && (arguments.identity ?? environment["DAYPASS_IDENTITY"]) == (flags.identity ?? own["DAYPASS_IDENTITY"])
            && (arguments.audience ?? environment["DAYPASS_AUDIENCE"]) == (flags.audience ?? own["DAYPASS_AUDIENCE"])
            && environment["DAYPASS_KUBERNETES_TOKEN_FILE"] == own["DAYPASS_KUBERNETES_TOKEN_FILE"]
        isProjects = token != nil && helper?.settings.place == .project && !isOwn
    }

    /// The broker that the helper asks, whatever flags say.
    var helpersOrigin: String? {
        guard let helper, let token = helper.token else { return nil }
        return (token.arguments.url ?? helper.variables["DAYPASS_URL"]).flatMap { BrokerAddress.origin(parsing: $0) }
    }

    var url: String? { arguments.url ?? environment["DAYPASS_URL"] }
    var authorities: String? { arguments.caFile ?? environment["DAYPASS_CA_FILE"] }

    /// Whether the client asks somebody else than this program, and may know the broker where nothing here does.
    var isOthers: Bool { federation != nil || (helper != nil && helper?.token == nil) }

    /// - Returns: nil where there is none.
    /// - Throws: a `CommandFailure` of wrong usage.
    func identity() throws(CommandFailure) -> Identity? {
        if arguments.identity == nil, let federation { return federation.identity }
        if let name = arguments.identity ?? environment["DAYPASS_IDENTITY"] {
            guard let identity = Identity(parsing: name) else {
                throw CommandFailure(.usage, "an identity has to be one of \(Identity.names)")
            }
            return identity
        }
        return Identity.found(in: environment, at: url.flatMap { BrokerAddress.origin(parsing: $0) })
    }
}

import Broker
import HTTPTypes
import Hummingbird
import JOSE

/// What can be asked about rules; nothing of it changes them.
enum RuleOperation: Equatable {
    case list, who, test, replay

    /// A replay tells of whom the audit record is about, and by the rules that are tried one could guess at claims in it.
    var scopes: [AdministrationScope] {
        self == .replay ? [.rules, .audit] : [.rules]
    }

    /// The parameters that its query may have.
    var parameters: [ExactString] {
        switch self {
        case .list: ["cursor", "limit"]
        case .who: ["scope", "cursor", "limit"]
        case .test, .replay: []
        }
    }

    /// In bytes.
    var maximumBodyLength: Int {
        switch self {
        case .list, .who: AdministrationRoutes.maximumBodyLength
        case .test, .replay: AdministrationAPI.maximumRulesBodyLength
        }
    }

    /// - Parameter path: what stands behind `rules` in it.
    static func operations(
        _ path: ArraySlice<ExactString>
    ) throws(AdministrationError) -> [HTTPRequest.Method: AdministrationRoutes.Operation] {
        switch path.first {
        case nil: [.get: .rules(.list)]
        case "who": [.get: .rules(.who)]
        case "test": [.post: .rules(.test)]
        case "replay": [.post: .rules(.replay)]
        default: throw .notFound
        }
    }
}

extension AdministrationRoutes {
    func answer(
        _ operation: RuleOperation, _ body: [UInt8], _ query: AdministrationQuery
    ) async throws(AdministrationFailure) -> Response {
        let inspector = administration.ruleInspector
        switch operation {
        case .list:
            let page = try query.page()
            return .json(.ok, try await inspector.rules(page).json("rules", \.json))
        case .who:
            let (scope, page) = (try query.scope(), try query.page())
            return .json(.ok, try await inspector.openings(of: scope, page).json("rules", \.json))
        case .test:
            let order = try AdministrationAPI.RuleTest(parsing: body)
            return .json(.ok, try await inspector.test(order).json)
        case .replay:
            let order = try AdministrationAPI.RuleReplayOrder(parsing: body)
            return .json(.ok, try await inspector.replay(order).json)
        }
    }
}

/// Verdicts on gateway tokens, by outcome. Callable from any thread; one atomic addition.
package final class VerifyMetrics: MetricSource {
    /// Counts where nobody looks.
    package static let disabled = VerifyMetrics()

    fileprivate enum Outcome: Int, MetricLabel {
        case allowed
        case missing, malformed, type, issuer, audience, algorithm, key, signature, expired, notYetValid, claims,
            certificate, revoked
        case insufficientScope, insufficientModel, nothingRequired, tooManyModels, tooManyFailures, overloaded
    }

    private let verdicts = Counter<Outcome>("daypass_verdicts_total", by: "outcome", "Verdicts on gateway tokens.")

    package init() {}

    package func allowed() {
        verdicts.count(.allowed)
    }

    package func denied(_ denial: Denial) {
        verdicts.count(Outcome(denial))
    }

    package func write(to text: inout MetricText) {
        verdicts.write(to: &text)
    }
}

extension VerifyMetrics.Outcome {
    fileprivate init(_ denial: Denial) {
        self =
            switch denial {
            case .token(.missing): .missing
            case .token(.malformed): .malformed
            case .token(.type): .type
            case .token(.issuer): .issuer
            case .token(.audience): .audience
            case .token(.algorithm): .algorithm
            case .token(.key): .key
            case .token(.signature): .signature
            case .token(.expired): .expired
            case .token(.notYetValid): .notYetValid
            case .token(.claims): .claims
            case .token(.certificate): .certificate
            case .token(.revoked): .revoked
            case .insufficientScope: .insufficientScope
            case .insufficientModel: .insufficientModel
            case .nothingRequired: .nothingRequired
            case .tooManyModels: .tooManyModels
            case .tooManyFailures: .tooManyFailures
            case .overloaded: .overloaded
            }
    }
}

import { Download, ShieldAlert, ShieldCheck } from 'lucide-preact';
import { useTitle } from '../components/hooks';
import { words } from '../i18n';

export function Help() {
    const w = words.value.help;
    useTitle(`${w.title} · ${words.value.product}`);
    const secure = window.isSecureContext;
    const guides: Array<[string, readonly string[]]> = [
        [w.windows, w.windowsSteps],
        [w.firefox, w.firefoxSteps],
        [w.android, w.androidSteps],
        [w.ios, w.iosSteps],
        [w.linux, w.linuxSteps],
    ];
    return (
        <div class="help">
            <h1>{w.title}</h1>
            <p class={`notice ${secure ? 'jade' : 'amber'}`} role="status">
                {secure ? <ShieldCheck size={20} aria-hidden="true" /> : <ShieldAlert size={20} aria-hidden="true" />}
                <span>{secure ? w.secure : w.insecure}</span>
            </p>
            <p class="lead">{w.lead}</p>
            <a class="button main large" href="/help/ca.crt" download="ca.crt">
                <Download size={18} aria-hidden="true" />
                <span class="button-words">{w.download}</span>
            </a>
            <div class="guides">
                {guides.map(([title, steps], i) => (
                    <details class="card" open={i === 0} key={title}>
                        <summary>{title}</summary>
                        <ol>
                            {steps.map((step) => (
                                <li key={step}>{step}</li>
                            ))}
                        </ol>
                    </details>
                ))}
            </div>
            <h2>{w.problems}</h2>
            <dl class="problems">
                {w.problemList.map(([title, text]) => (
                    <div key={title}>
                        <dt>{title}</dt>
                        <dd class="dim">{text}</dd>
                    </div>
                ))}
            </dl>
        </div>
    );
}

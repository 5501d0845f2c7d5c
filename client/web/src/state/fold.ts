// The briefing's state as a fold over the same events that the server keeps (server/briefing/apply.c). A case sets its field and
// knows no rule; only `closed` ends several things at once. Pure: no clock, no socket, no signal.
import type { BriefingState, Endpoint, BriefingEvent } from '../protocol.gen';

function withEndpoint(state: BriefingState, number: number, change: Partial<Endpoint>): BriefingState {
    return {
        ...state,
        endpoints: state.endpoints.map((endpoint) => (endpoint.number === number ? { ...endpoint, ...change } : endpoint)),
    };
}

function withoutHand(state: BriefingState, number: number): BriefingState {
    return { ...state, hands: state.hands.filter((hand) => hand.number !== number) };
}

function joined(state: BriefingState, endpoint: Endpoint): BriefingState {
    const others = state.endpoints.filter((other) => other.number !== endpoint.number);
    return { ...state, endpoints: [...others, endpoint].sort((a, b) => a.number - b.number) };
}

function closed(state: BriefingState): BriefingState {
    const endpoints = state.endpoints.map((endpoint) => ({ ...endpoint, connected: false, microphone: false, camera: false, screen: false }));
    return { ...state, state: 'closed', floor: 0, floor_since_ms: null, spotlight: 0, screen: 0, recording: false, hands: [], endpoints };
}

/** The state after one event. */
export function applyEvent(state: BriefingState, event: BriefingEvent): BriefingState {
    switch (event.event) {
        case 'opened':
            return { ...state, state: 'open', opened_ms: event.at_ms };
        case 'closed':
            return closed(state);
        case 'joined':
            return joined(state, event.data.endpoint);
        case 'left':
            return withEndpoint(state, event.data.number, { connected: false, microphone: false, camera: false, screen: false });
        case 'removed':
            return { ...state, endpoints: state.endpoints.filter((endpoint) => endpoint.number !== event.data.number) };
        case 'media': {
            const { number, microphone, camera, screen } = event.data;
            return withEndpoint(state, number, { microphone, camera, screen });
        }
        case 'hand-raised': {
            const { number } = event.data;
            return { ...state, hands: [...withoutHand(state, number).hands, { number, since_ms: event.at_ms }] };
        }
        case 'hand-lowered':
            return withoutHand(state, event.data.number);
        case 'floor-granted':
            return { ...state, floor: event.data.number, floor_since_ms: event.at_ms };
        case 'floor-revoked':
            return { ...state, floor: 0, floor_since_ms: null };
        case 'muted':
            return withEndpoint(state, event.data.number, { microphone: false });
        case 'all-muted': {
            const { except } = event.data;
            const silenced = (endpoint: Endpoint) => (except.includes(endpoint.number) ? endpoint : { ...endpoint, microphone: false });
            return { ...state, endpoints: state.endpoints.map(silenced) };
        }
        case 'microphones-locked':
            return { ...state, locked: event.data.locked };
        case 'spotlighted':
            return { ...state, spotlight: event.data.number };
        case 'screen-shown':
            return { ...state, screen: event.data.number };
        case 'recording':
            return { ...state, recording: event.data.on };
    }
}

export interface Sequenced {
    state: BriefingState;
    last: number;
}

/** Applies an event if it follows on what has been seen; null when one is missing and the server must be asked. */
export function follow(before: Sequenced, event: BriefingEvent): Sequenced | null {
    if (event.seq <= before.last) return before;
    if (event.prev > before.last) return null;
    return { state: applyEvent(before.state, event), last: event.seq };
}

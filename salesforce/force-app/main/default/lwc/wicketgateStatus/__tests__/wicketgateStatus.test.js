import { createElement } from 'lwc';
import axe from 'axe-core';
import LightningConfirm from 'lightning/confirm';
import WicketgateStatus from 'c/wicketgateStatus';
import askStatus from '@salesforce/apex/WicketgateStatus.status';
import askSync from '@salesforce/apex/WicketgateStatus.sync';
import askLink from '@salesforce/apex/WicketgateStatus.link';
import askStop from '@salesforce/apex/WicketgateStatus.stop';

jest.mock('@salesforce/apex/WicketgateStatus.status', () => ({ default: jest.fn() }), { virtual: true });
jest.mock('@salesforce/apex/WicketgateStatus.sync', () => ({ default: jest.fn() }), { virtual: true });
jest.mock('@salesforce/apex/WicketgateStatus.link', () => ({ default: jest.fn() }), { virtual: true });
jest.mock('@salesforce/apex/WicketgateStatus.stop', () => ({ default: jest.fn() }), { virtual: true });
jest.mock('@salesforce/customPermission/Wicketgate_Sync', () => ({ default: true }), { virtual: true });
jest.mock('@salesforce/customPermission/Wicketgate_Link', () => ({ default: true }), { virtual: true });
jest.mock('@salesforce/customPermission/Wicketgate_Stop', () => ({ default: true }), { virtual: true });

const CASE = '5005g00000ABCDEAA2';
const CONNECTION = '01936f2a-7c1e-7d3b-9a55-0b6f3c2d1e10';
const TWIN = '27573413-ff5f-845e-a3df-e936597a18b2';

function twin(more) {
    return {
        id: TWIN,
        connection_id: CONNECTION,
        connection: 'acme_to_partner',
        status: 'in_sync',
        remote: { entity_type: 'issue', key: '42', url: 'https://tracker.example/issues/42' },
        last_synced_at: '2026-11-27T10:15:00.250Z',
        error: null,
        remote_outcome: null,
        ...more
    };
}

function answer(more) {
    return JSON.stringify({ tracker: 'support', entity_type: 'Case', key: CASE, twins: [], connections: [], waiting: 0, last: null, ...more });
}

/* Promises that are settled already need a few turns to be seen. */
async function settled() {
    for (let turn = 0; turn < 5; turn++) {
        // eslint-disable-next-line no-await-in-loop
        await Promise.resolve();
    }
}

async function panel(told, more) {
    askStatus.mockResolvedValue(told);
    const element = createElement('c-wicketgate-status', { is: WicketgateStatus });
    Object.assign(element, { recordId: CASE, showSync: true, showLink: true, showStop: true, ...more });
    document.body.appendChild(element);
    await settled();
    return element;
}

const one = (element, id) => element.shadowRoot.querySelector(`[data-id="${id}"]`);
const text = (element, id) => one(element, id)?.textContent.replace(/\s+/g, ' ').trim();

describe('c-wicketgate-status', () => {
    afterEach(() => {
        document.body.replaceChildren();
        jest.clearAllMocks();
    });

    it('tells the state by word and shape, and links the twin', async () => {
        const element = await panel(answer({ twins: [twin()] }));
        expect(askStatus).toHaveBeenCalledWith({ recordId: CASE });
        expect(text(element, 'state')).toBe('● In sync');
        const link = one(element, 'remote');
        expect(link.href).toBe('https://tracker.example/issues/42');
        expect(link.rel).toContain('noopener');
        expect(text(element, 'remote')).toContain('issue 42');
    });

    // eslint-disable-next-line no-script-url
    it.each(['javascript:alert(1)', 'data:text/html,x', null])('makes no link of %s', async (url) => {
        const element = await panel(answer({ twins: [twin({ remote: { entity_type: 'issue', key: '<b>42</b>', url } })] }));
        expect(one(element, 'remote').tagName).toBe('SPAN');
        expect(text(element, 'remote')).toBe('issue <b>42</b>');
    });

    it('tells the last error and what to do', async () => {
        const error = { title: 'The tracker refused the record', advice: 'Change the record, then try again.', occurred_at: '2026-11-27T10:15:00Z' };
        const element = await panel(answer({ twins: [twin({ status: 'parked', error })] }));
        expect(text(element, 'state')).toBe('▲ Parked');
        expect(text(element, 'error')).toBe('The tracker refused the recordChange the record, then try again.');
    });

    it('tells that the other side is held up', async () => {
        const theirs = { outcome: 'parked', title: 'The tracker refused the record', at: '2026-11-27T10:15:00Z' };
        const element = await panel(answer({ twins: [twin({ remote_outcome: theirs })] }));
        expect(text(element, 'error')).toContain('The tracker refused the record');
        expect(text(element, 'error')).toContain('on the other side');
    });

    it('tells why a change was skipped', async () => {
        const last = { at: '2026-11-27T10:15:00Z', direction: 'out', outcome: 'skipped', reason: 'no trigger matches' };
        const element = await panel(answer({ last, connections: [{ id: CONNECTION, name: 'acme_to_partner' }] }));
        expect(text(element, 'state')).toBe('○ Not synced');
        expect(text(element, 'ending')).toBe('Its last change was skipped: no trigger matches');
    });

    it('syncs a record that has no twin', async () => {
        const element = await panel(answer({ connections: [{ id: CONNECTION, name: 'acme_to_partner' }] }));
        askSync.mockResolvedValue(answer({ twins: [twin({ status: 'waiting', remote: null })] }));
        one(element, 'sync').click();
        await settled();
        expect(askSync).toHaveBeenCalledWith({ recordId: CASE, connectionId: CONNECTION });
        expect(text(element, 'state')).toBe('◐ Waiting');
        expect(text(element, 'message')).toBe('The sync of this record was asked for.');
    });

    it('links with a record that exists, and keeps what was typed after a no', async () => {
        const element = await panel(answer({ connections: [{ id: CONNECTION, name: 'acme_to_partner' }] }));
        one(element, 'open-link').click();
        await settled();
        const [type, key] = element.shadowRoot.querySelectorAll('lightning-input');
        [type, key].forEach((field) => {
            field.reportValidity = () => true;
        });
        key.name = 'remoteKey';
        key.dispatchEvent(new CustomEvent('change', { detail: { value: '42' } }));
        askLink.mockRejectedValue({ body: { message: 'The record there has a twin already (409)' } });
        one(element, 'link').click();
        await settled();
        expect(text(element, 'failure')).toBe('The record there has a twin already (409)');
        askLink.mockResolvedValue(answer({ twins: [twin()] }));
        one(element, 'link').click();
        await settled();
        expect(askLink).toHaveBeenLastCalledWith({ recordId: CASE, connectionId: CONNECTION, remoteType: 'issue', remoteKey: '42' });
        expect(one(element, 'link-form')).toBeNull();
    });

    it('stops only after it was confirmed', async () => {
        const element = await panel(answer({ twins: [twin()] }));
        LightningConfirm.open = jest.fn().mockResolvedValueOnce(false).mockResolvedValueOnce(true);
        askStop.mockResolvedValue(answer({ twins: [twin({ status: 'stopped' })] }));
        one(element, 'stop').click();
        await settled();
        expect(askStop).not.toHaveBeenCalled();
        one(element, 'stop').click();
        await settled();
        expect(askStop).toHaveBeenCalledWith({ recordId: CASE, twinId: TWIN });
        expect(text(element, 'state')).toBe('■ Stopped');
        expect(one(element, 'stop')).toBeNull();
    });

    it('offers only what the page was given', async () => {
        const told = answer({ twins: [twin()], connections: [{ id: CONNECTION, name: 'other' }] });
        const element = await panel(told, { showSync: false, showLink: false, showStop: false });
        ['sync', 'stop', 'open-link'].forEach((id) => expect(one(element, id)).toBeNull());
    });

    it('tells why the node cannot be asked, and asks again', async () => {
        askStatus.mockRejectedValue({ body: { message: 'The Wicketgate node does not answer.' } });
        const element = createElement('c-wicketgate-status', { is: WicketgateStatus });
        element.recordId = CASE;
        document.body.appendChild(element);
        await settled();
        expect(text(element, 'failure')).toBe('The Wicketgate node does not answer.');
        askStatus.mockResolvedValue(answer({ twins: [twin()] }));
        one(element, 'reload').click();
        await settled();
        expect(text(element, 'failure')).toBe('');
        expect(text(element, 'state')).toBe('● In sync');
    });

    it('drops an answer for a record that is no longer shown', async () => {
        let late;
        askStatus.mockReturnValueOnce(new Promise((resolve) => {
            late = resolve;
        }));
        const element = createElement('c-wicketgate-status', { is: WicketgateStatus });
        element.recordId = CASE;
        document.body.appendChild(element);
        askStatus.mockResolvedValue(answer());
        element.recordId = '5005g00000ABCDFAA2';
        late(answer({ twins: [twin()] }));
        await settled();
        expect(text(element, 'state')).toBe('○ Not synced');
    });

    it.each([
        ['in sync', { twins: [twin()] }],
        ['parked', { twins: [twin({ status: 'parked', error: { title: 'No', advice: 'Act.', occurred_at: '' } })] }],
        ['not synced', { connections: [{ id: CONNECTION, name: 'a' }, { id: TWIN, name: 'b' }] }]
    ])('is accessible when %s', async (_, told) => {
        const element = await panel(answer(told));
        // What lightning-… elements render inside is the platform's; the stand-ins here are empty. Colours are not drawn here.
        const rules = { 'color-contrast': { enabled: false } };
        const runOnly = ['wcag2a', 'wcag2aa', 'best-practice'];
        const found = await axe.run(element.shadowRoot.querySelector('section'), { runOnly, rules });
        expect(found.violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html)}`)).toEqual([]);
    });
});
